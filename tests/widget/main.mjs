// Each test is a visit; the last line counts them.

import { Stage } from './stage.mjs'
import { tests } from './tests.mjs'

const only = process.argv[2]
const stage = await Stage.open()
let passed = 0
let failed = 0
try {
  for (const [name, test] of Object.entries(tests)) {
    if (only && !name.includes(only)) continue
    try {
      await test(stage)
      passed += 1
      console.log(`ok      ${name}`)
    } catch (error) {
      failed += 1
      console.log(`FAILED  ${name}\n${error.stack}`)
    }
    for (const context of stage.browser.contexts()) await context.close()
  }
} finally {
  await stage.close()
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
