import { judgeBySdks } from './_basis-theory-sdks.ts'

await judgeBySdks()
