import './_stream.ts'
