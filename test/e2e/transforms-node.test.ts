// The same claims on the other ingress engine.
process.env['SLUICE_TEST_ENGINE'] = 'node'
await import('./_transforms.ts')
