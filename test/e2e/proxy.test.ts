import './_proxy.ts'
