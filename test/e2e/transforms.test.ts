import './_transforms.ts'
