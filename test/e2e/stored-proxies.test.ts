import './_stored-proxies.ts'
