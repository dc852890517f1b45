import { judgeProxiesBySdks } from './_proxy-sdks.ts'

await judgeProxiesBySdks()
