// The stage: loopd with a small configuration, pages on origins of their own, a browser, and a look into the ledger.

import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { chromium } from 'playwright-core'

const execute = promisify(execFile)
const LOOPD = process.env.LOOPD
export const KEY = 'pk_widget_1'

/** A page with the widget: `script` are attributes of its tag, `body` what stands in the page. */
const html = ({ loopd, script = '', body = '', head = '', lang = 'en', key = KEY }) => `<!doctype html>
<html lang="${lang}"><head><meta charset="utf-8"><title>A page of ours</title>${head}
<script nonce="ours">
window.loopd = window.loopd || function () { (loopd.q = loopd.q || []).push(arguments) }
window.violations = []
document.addEventListener('securitypolicyviolation', event => violations.push(event.violatedDirective + ' ' + event.blockedURI))
</script>
<script src="${loopd}/v1/widget.js" data-key="${key}" ${script} async></script>
</head><body><main><h1>A page of ours</h1>${body}</main></body></html>`

async function listening(server) {
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  return `http://127.0.0.1:${server.address().port}`
}

export class Stage {
  static async open() {
    const stage = new Stage()
    stage.folder = mkdtempSync(join(tmpdir(), 'loopd-widget-'))
    stage.pages = new Map()
    const serve = (request, response) => {
      const page = stage.pages.get(new URL(request.url, 'http://x').pathname)
      // As strict as a page's policy gets: no style, no code of its own but what has the nonce, no images, no frames.
      const policy = `default-src 'none'; script-src 'nonce-ours' ${stage.loopd}; connect-src ${stage.loopd}; base-uri 'none'`
      const headers = { 'content-type': 'text/html; charset=utf-8' }
      if (page && !page.free) headers['content-security-policy'] = policy
      response.writeHead(page ? 200 : 404, headers)
      response.end(page ? html({ loopd: stage.loopd, ...page }) : '')
    }
    stage.servers = [createServer(serve), createServer(serve)]
    ;[stage.ours, stage.strangers] = await Promise.all(stage.servers.map(listening))
    writeFileSync(join(stage.folder, 'config.toml'), `
[ledger]
path = "ledger"
[http]
listen = "127.0.0.1:0"
[connection.app]
kind    = "app"
key     = "${KEY}"
origins = ["${stage.ours}"]
servers = ["127.0.0.1"]
`)
    await stage.run()
    stage.browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] })
    return stage
  }

  /** Starts the daemon; resolves when it is ready. */
  async run() {
    this.daemon = spawn(LOOPD, ['run'], { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    this.loopd = await new Promise((ready, failed) => {
      this.daemon.on('exit', code => failed(new Error(`loopd ended with ${code}:\n${log}`)))
      this.daemon.stderr.on('data', piece => {
        log += piece
        const line = log.split('\n').find(line => line.includes('loopd is ready') && line.endsWith('}'))
        if (line) ready('http://' + JSON.parse(line).address)
      })
    })
  }

  async close() {
    await this.browser?.close()
    this.daemon?.removeAllListeners('exit')
    this.daemon?.kill('SIGKILL')
    this.servers?.forEach(server => server.close())
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** A fresh browser with this page in it. `options`: as playwright's contexts take them. */
  async visit(page, options = {}) {
    const path = `/${this.pages.size}`
    this.pages.set(path, page)
    const context = await this.browser.newContext(options)
    if (options.before) await options.before(context)
    const tab = await context.newPage()
    tab.setDefaultTimeout(8_000)
    tab.errors = []
    tab.on('pageerror', error => tab.errors.push(String(error)))
    await tab.goto((options.from ?? this.ours) + path)
    // The API is there when the widget is.
    await tab.waitForFunction(() => window.loopd?.ready)
    return tab
  }

  /** All feedback in the ledger. */
  async feedback() {
    const { stdout } = await execute(LOOPD, ['ledger', 'export', '-'], { cwd: this.folder, maxBuffer: 1 << 28 })
    return stdout.split('\n').filter(Boolean).map(line => JSON.parse(line))
      .filter(row => row.tree === 'entities' && row.value.kind === 'feedback').map(row => row.value.body)
  }

  /** Those for which `is` holds, as soon as there are any; what came is drawn in the background. */
  async landed(is) {
    for (let look = 0; look < 100; look += 1) {
      const found = (await this.feedback()).filter(is)
      if (found.length > 0) return found
    }
    throw new Error(`nothing of that is in the ledger: ${is}`)
  }

  /** Exactly one, also after whatever may still be coming has come: a mark is sent behind it. */
  async one(is) {
    await this.landed(is)
    const mark = `mark ${Math.random()}`
    const answer = await fetch(`${this.loopd}/v1/feedback`, { method: 'POST', body: JSON.stringify({ key: KEY, text: mark }) })
    if (answer.status !== 202) throw new Error(`the mark was refused: ${answer.status}`)
    await this.landed(item => item.verbatim === mark)
    const found = (await this.feedback()).filter(is)
    if (found.length !== 1) throw new Error(`${found.length} items instead of one`)
    return found[0]
  }
}

export const source = () => readFileSync(process.env.WIDGET, 'utf8')
