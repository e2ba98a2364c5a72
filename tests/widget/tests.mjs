import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { parse } from 'acorn'
import { KEY, source } from './stage.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8')
const text = words => item => item.verbatim === words
const link = tab => tab.getByRole('button', { name: 'Feedback', exact: true })
const field = tab => tab.getByRole('textbox')
const send = tab => tab.getByRole('button', { name: 'Send' })
const says = (tab, words) => tab.getByRole('status').filter({ hasText: words }).waitFor()
const waiting = tab => tab.evaluate(key => Object.keys(JSON.parse(localStorage.getItem('loopd:' + key)) ?? {}).length, KEY)
const focused = tab => tab.evaluate(() => {
  let at = document.activeElement
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
  return at.tagName.toLowerCase() + (at.textContent ? ` ${at.textContent}` : '')
})

/** No violation of the page's policy, no error in it. */
async function clean(tab) {
  assert.deepEqual(await tab.evaluate(() => window.violations), [])
  assert.deepEqual(tab.errors, [])
}

async function accessible(tab, what) {
  await tab.evaluate(axe)
  const found = await tab.evaluate(() => axe.run(document, { resultTypes: ['violations', 'incomplete'] }))
  const told = list => list.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(' | ')}`)
  assert.deepEqual(told(found.violations), [], what)
  assert.deepEqual(told(found.incomplete), [], `${what}: what axe could not decide`)
}

export const tests = {
  'the script is ES2017 and stays small': () => {
    parse(source(), { ecmaVersion: 2017 })
    assert.ok(source().length < 9 * 1024)
  },

  'the link opens the form, and what is written lands with its context': async stage => {
    const tab = await stage.visit({ script: 'data-app-version="4.2.0"', lang: 'en-GB' })
    await link(tab).click()
    await tab.getByRole('dialog', { name: 'Your feedback' }).waitFor()
    await tab.getByLabel('What could be better?').fill('Export more than one month')
    await send(tab).click()
    await says(tab, 'Thank you. Somebody will read this.')
    const item = await stage.one(text('Export more than one month'))
    assert.equal(item.source, 'in_app')
    assert.ok(item.origin.url.startsWith(stage.ours), item.origin.url)
    assert.equal(await waiting(tab), 0)
    await tab.getByRole('button', { name: 'Close' }).click()
    await tab.getByRole('dialog').waitFor({ state: 'detached' })
    await clean(tab)
  },

  'by keyboard alone, from the link and back to it': async stage => {
    const tab = await stage.visit({})
    await tab.keyboard.press('Tab')
    assert.equal(await focused(tab), 'button Feedback')
    await tab.keyboard.press('Enter')
    assert.equal(await focused(tab), 'textarea')
    await tab.keyboard.press('Escape')
    await tab.getByRole('dialog').waitFor({ state: 'detached' })
    assert.equal(await focused(tab), 'button Feedback', 'the focus comes back')
    await tab.keyboard.press('Space')
    await tab.keyboard.type('Written without a mouse')
    await tab.keyboard.press('Shift+Tab')
    assert.notEqual(await focused(tab), 'button Feedback', 'the page behind is out of reach')
    await field(tab).focus()
    await tab.keyboard.press('Tab')
    assert.equal(await focused(tab), 'button Send')
    await tab.keyboard.press('Enter')
    await says(tab, 'Thank you')
    assert.equal(await focused(tab), 'button Close')
    await tab.keyboard.press('Enter')
    assert.equal(await focused(tab), 'button Feedback')
    await stage.one(text('Written without a mouse'))
    await clean(tab)
  },

  'nothing written is told in plain words': async stage => {
    const tab = await stage.visit({})
    await link(tab).click()
    await send(tab).click()
    await says(tab, 'Please write a few words first.')
    assert.equal(await focused(tab), 'textarea')
    assert.equal(await field(tab).getAttribute('aria-invalid'), 'true')
    await field(tab).fill('Now with words')
    await send(tab).click()
    await says(tab, 'Thank you')
    await stage.one(text('Now with words'))
  },

  'a thumb is sent at once, and a word more is the same item': async stage => {
    const tab = await stage.visit({ body: '<div data-loopd="thumbs" data-task="thumb task"></div>', script: 'data-link="off"' })
    await tab.getByRole('group', { name: 'Did this work for you?' }).waitFor()
    await tab.getByRole('button', { name: 'Yes, it worked' }).click()
    await stage.one(item => item.title === 'Thumbs up: thumb task')
    await tab.getByRole('button', { name: 'No, it did not work' }).click()
    assert.equal(await tab.getByRole('button', { name: 'No, it did not work' }).getAttribute('aria-pressed'), 'true')
    assert.equal(await tab.getByRole('button', { name: 'Yes, it worked' }).getAttribute('aria-pressed'), 'false')
    await stage.one(item => item.title === 'Thumbs down: thumb task')
    await tab.getByLabel('Would you like to say more?').fill('It took minutes')
    await send(tab).click()
    await says(tab, 'Thank you')
    const item = await stage.one(text('It took minutes'))
    assert.equal(item.title, 'Thumbs down: thumb task')
    assert.equal(item.tags.category, 'behavior_not_working')
    assert.equal((await stage.feedback()).filter(item => item.title?.endsWith(': thumb task')).length, 1)
    // Another thumb afterwards takes no word away.
    await tab.getByRole('button', { name: 'Yes, it worked' }).click()
    assert.equal((await stage.one(item => item.title === 'Thumbs up: thumb task')).verbatim, 'It took minutes')
    await clean(tab)
  },

  'the form on an error page asks what one was trying to do': async stage => {
    const tab = await stage.visit({ body: '<div data-loopd="form" data-kind="error" data-code="500"></div>', script: 'data-link="off"' })
    await tab.getByLabel('What were you trying to do?').fill('Inviting a colleague')
    await send(tab).click()
    await says(tab, 'Thank you')
    const item = await stage.one(text('Inviting a colleague'))
    assert.equal(item.title, 'Error page 500')
    assert.equal(item.tags.category, 'bug')
    assert.match(await focused(tab), /^p Thank you/, 'who cannot see it hears it')
    await clean(tab)
  },

  'code may say who it is, before and after the script has come': async stage => {
    const early = `<script nonce="ours">loopd('identify', { user: { id: 7, email: 'ada@lumen.example.com' }, account: { id: 'lumen-1' } })
      loopd('search', { query: 'said early' })</script>`
    const tab = await stage.visit({ body: early })
    const item = await stage.one(text('said early'))
    assert.equal(item.author.email, 'ada@lumen.example.com')
    assert.equal(item.author.handle, '7')
    assert.deepEqual(item.hints[0], { kind: 'company_id', value: 'lumen-1' })
    const told = await tab.evaluate(() => loopd('cancellation', { reason: 'too_expensive', text: 'said late' }))
    assert.equal(told.state, 'sent')
    assert.match(told.id, /^FB-/)
    assert.equal((await stage.one(text('said late'))).tags.category, 'churn_signal')
    const refused = await tab.evaluate(() => loopd('thumbs', { rating: 'sideways' }))
    assert.equal(refused.state, 'refused')
    assert.equal(refused.problem.field, 'rating')
    assert.equal(await waiting(tab), 0, 'what will never pass is not tried again')
    await tab.evaluate(() => loopd('open'))
    await tab.getByRole('dialog').waitFor()
    await clean(tab)
  },

  'a page that is built later is rendered when it says so, and once': async stage => {
    const tab = await stage.visit({})
    await tab.evaluate(() => {
      document.querySelector('main').insertAdjacentHTML('beforeend', '<div data-loopd="link" data-label="Tell us"></div>')
      loopd('render')
      loopd('render')
    })
    assert.equal(await tab.getByRole('button', { name: 'Tell us' }).count(), 1)
    assert.equal(await link(tab).count(), 1)
    await tab.getByRole('button', { name: 'Tell us' }).click()
    await field(tab).fill('From a placeholder')
    await send(tab).click()
    await stage.one(text('From a placeholder'))
  },

  'without a network it is kept through a reload and sent once there is one': async stage => {
    const tab = await stage.visit({})
    const cut = route => route.abort()
    await tab.route('**/v1/feedback', cut)
    await link(tab).click()
    await field(tab).fill('Written in a tunnel')
    await send(tab).click()
    await says(tab, 'This is kept')
    assert.equal(await waiting(tab), 1)
    await tab.reload()
    assert.equal(await waiting(tab), 1)
    await tab.unroute('**/v1/feedback', cut)
    await tab.reload()
    await stage.one(text('Written in a tunnel'))
    await tab.waitForFunction(key => localStorage.getItem('loopd:' + key) === '{}', KEY)
    await clean(tab)
  },

  'when the browser is online again it is sent without a reload': async stage => {
    const tab = await stage.visit({})
    await tab.context().setOffline(true)
    await link(tab).click()
    await field(tab).fill('Written offline')
    await send(tab).click()
    await says(tab, 'This is kept')
    await tab.context().setOffline(false)
    await stage.one(text('Written offline'))
  },

  'an answer that is lost is asked for again, and there is one item': async stage => {
    const tab = await stage.visit({})
    let times = 0
    const lose = async route => {
      times += 1
      // It arrives and is on disk; the browser never hears of it.
      if (times === 1) await route.fetch()
      await (times === 1 ? route.abort() : route.continue())
    }
    await tab.route('**/v1/feedback', lose)
    await link(tab).click()
    await field(tab).fill('Answered into the void')
    await send(tab).click()
    await says(tab, 'This is kept')
    await tab.evaluate(() => dispatchEvent(new Event('online')))
    await tab.waitForFunction(key => localStorage.getItem('loopd:' + key) === '{}', KEY)
    assert.equal(times, 2)
    await stage.one(text('Answered into the void'))
  },

  'a server that asks for patience gets it': async stage => {
    const tab = await stage.visit({}, { before: context => context.clock.install() })
    let times = 0
    const busy = async route => {
      times += 1
      const headers = { 'access-control-allow-origin': stage.ours, 'access-control-expose-headers': 'retry-after', 'retry-after': '30' }
      await (times === 1 ? route.fulfill({ status: 429, headers, json: {} }) : route.continue())
    }
    await tab.route('**/v1/feedback', busy)
    await tab.evaluate(() => loopd('feedback', { text: 'Said in a crowd' }))
    await tab.clock.runFor(29_000)
    assert.equal(times, 1)
    await tab.clock.runFor(2_000)
    await stage.one(text('Said in a crowd'))
    assert.equal(times, 2)
  },

  'where nothing may be stored it is sent all the same': async stage => {
    const before = context => context.addInitScript(() => {
      Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })
    })
    const tab = await stage.visit({}, { before })
    await link(tab).click()
    await field(tab).fill('Nothing is stored here')
    await send(tab).click()
    await says(tab, 'Thank you')
    await stage.one(text('Nothing is stored here'))
    await clean(tab)
  },

  'a key that there is not is told in plain words, and the text stays': async stage => {
    const tab = await stage.visit({ key: 'pk_nobody_1' })
    await link(tab).click()
    await field(tab).fill('Sent with a wrong key')
    await send(tab).click()
    await says(tab, 'This could not be sent, and that is our fault. Please try again later.')
    assert.equal(await field(tab).inputValue(), 'Sent with a wrong key')
    assert.equal(await focused(tab), 'textarea')
    assert.equal((await stage.feedback()).filter(text('Sent with a wrong key')).length, 0)
  },

  'another origin cannot send, whatever it tries': async stage => {
    const tab = await stage.visit({ free: true }, { from: stage.strangers })
    const tried = await tab.evaluate(async ([url, key]) => {
      const body = JSON.stringify({ key, text: 'From a stranger' })
      const attempts = [{}, { headers: { 'content-type': 'application/json' } }, { mode: 'no-cors' }]
      const outcome = await Promise.all(attempts.map(more => fetch(url, { method: 'POST', body, ...more }).then(answer => answer.type, () => 'refused')))
      navigator.sendBeacon(url, body)
      return outcome
    }, [`${stage.loopd}/v1/feedback`, KEY])
    assert.deepEqual(tried, ['refused', 'refused', 'opaque'])
    await fetch(`${stage.loopd}/v1/feedback`, { method: 'POST', body: JSON.stringify({ key: KEY, text: 'after the stranger' }) })
    await stage.landed(text('after the stranger'))
    assert.equal((await stage.feedback()).filter(text('From a stranger')).length, 0)
  },

  'a page of ours may use fetch with its headers, and beacons': async stage => {
    const tab = await stage.visit({})
    const answer = await tab.evaluate(async ([url, key]) => {
      const headers = { 'content-type': 'application/json', 'x-loopd-key': key, 'idempotency-key': 'own-1' }
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ text: 'By our own code' }) })
      const blob = new Blob([JSON.stringify({ key, text: 'A typed beacon' })], { type: 'application/json' })
      const sent = [navigator.sendBeacon(url, JSON.stringify({ key, text: 'A plain beacon' })), navigator.sendBeacon(url, blob)]
      return { status: answer.status, told: await answer.json(), sent }
    }, [`${stage.loopd}/v1/feedback`, KEY])
    assert.equal(answer.status, 202)
    assert.match(answer.told.id, /^FB-/)
    assert.deepEqual(answer.sent, [true, true])
    for (const words of ['By our own code', 'A plain beacon', 'A typed beacon']) await stage.one(text(words))
    await clean(tab)
  },

  "the page's own style does not break it": async stage => {
    const head = '<style nonce="ours">*{color:red!important;font-size:3px!important;background:red!important}button,textarea,dialog{display:none!important}</style>'
    const tab = await stage.visit({ head, free: true })
    await link(tab).click()
    const style = await field(tab).evaluate(made => {
      const { color, fontSize, display, backgroundColor } = getComputedStyle(made)
      return { color, fontSize, display, backgroundColor }
    })
    assert.deepEqual(style, { color: 'rgb(26, 26, 26)', fontSize: '16px', display: 'inline-block', backgroundColor: 'rgb(255, 255, 255)' })
  },

  'the texts are those of the page': async stage => {
    const script = 'data-label="Votre avis" data-title="Votre avis" data-question="Que pouvons-nous améliorer ?" data-send="Envoyer" data-thanks="Merci !"'
    const tab = await stage.visit({ script, lang: 'fr' })
    await tab.getByRole('button', { name: 'Votre avis' }).click()
    await tab.getByLabel('Que pouvons-nous améliorer ?').fill('Exporter plus vite, s’il vous plaît 👍')
    await tab.getByRole('button', { name: 'Envoyer' }).click()
    await says(tab, 'Merci !')
    await stage.one(text('Exporter plus vite, s’il vous plaît 👍'))
  },

  'half an emoji loses no text': async stage => {
    const tab = await stage.visit({})
    await tab.evaluate(() => loopd('feedback', { text: 'cut here 👍'.slice(0, -1) }))
    await stage.one(text('cut here \ufffd'))
  },

  'who wants no motion sees none': async stage => {
    const still = await stage.visit({}, { reducedMotion: 'reduce' })
    const moving = await stage.visit({}, { reducedMotion: 'no-preference' })
    const duration = tab => link(tab).evaluate(made => getComputedStyle(made).transitionDuration)
    assert.equal(await duration(still), '0s')
    assert.notEqual(await duration(moving), '0s')
  },

  'axe finds nothing in any state': async stage => {
    const body = '<div data-loopd="thumbs"></div><div data-loopd="form" data-kind="cancellation"></div>'
    const tab = await stage.visit({ body, free: true })
    await accessible(tab, 'at rest')
    await link(tab).click()
    await accessible(tab, 'with the dialog open')
    await tab.getByRole('dialog').getByRole('button', { name: 'Send' }).click()
    await accessible(tab, 'with an error')
    await tab.getByRole('dialog').getByRole('textbox').fill('Looked at by axe')
    await tab.getByRole('dialog').getByRole('button', { name: 'Send' }).click()
    await says(tab.getByRole('dialog'), 'Thank you')
    await accessible(tab, 'when it is sent')
    await tab.keyboard.press('Escape')
    await tab.getByRole('button', { name: 'No, it did not work' }).click()
    await accessible(tab, 'with a thumb pressed')
  },

  'twice in a page it is once': async stage => {
    const tab = await stage.visit({ head: `<script src="${stage.loopd}/v1/widget.js" data-key="${KEY}" async></script>` })
    await tab.waitForLoadState('networkidle')
    assert.equal(await link(tab).count(), 1)
  },
}
