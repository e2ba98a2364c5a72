/* loopd's widget: the feedback link, the thumbs, the one-field form. docs/vendors/app.md */
(() => {
'use strict'
const doc = document, script = doc.currentScript, set = script.dataset, early = window.loopd
if (early && !early.q) return
const url = script.src.replace(/widget\.js([?#].*)?$/, 'feedback'), store = 'loopd:' + set.key
const words = {
  label: 'Feedback', title: 'Your feedback', question: 'What could be better?', send: 'Send', close: 'Close',
  error: 'What were you trying to do?', search: 'What were you looking for?', cancellation: 'Why are you leaving?',
  thumbs: 'Did this work for you?', up: 'Yes, it worked', down: 'No, it did not work', more: 'Would you like to say more?',
  thanks: 'Thank you. Somebody will read this.', later: 'Thank you. You seem to be offline, so this is kept and sent later.',
  failed: 'This could not be sent, and that is our fault. Your text is still here: please try again later.',
  empty: 'Please write a few words first.'
}
const css = `:host{all:initial!important}*{box-sizing:border-box;font:16px/1.4 system-ui,sans-serif;color:#1a1a1a}
.float{position:fixed;inset-block-end:1rem;inset-inline-end:1rem;z-index:2147483000}
button{min-height:2.5rem;padding:.4rem 1rem;border:1px solid #595959;border-radius:.5rem;background:#fff;cursor:pointer}
.float,[type=submit]{color:#fff;background:var(--loopd-color,#0b57d0);border-color:transparent}
[aria-pressed=true]{background:#d3e3fd}:focus-visible{outline:3px solid #0b57d0;outline-offset:2px}
textarea{width:100%;padding:.5rem;border:1px solid #595959;border-radius:.5rem;background:#fff}
[aria-invalid]{border-color:#b3261e}label,h2,p{display:block;margin:0 0 .5rem}h2{font-size:1.25rem;font-weight:600}
[role=status]:empty,[hidden]{display:none}dialog{width:min(28rem,90vw);border:1px solid #595959;border-radius:.75rem;background:#fff}
dialog::backdrop{background:#0008}
@media (prefers-reduced-motion:no-preference){button{transition:background .15s}}`

// What is not sent yet: kept through reloads, and in memory where nothing may be stored.
let memory = [], who = {}, wait = 0, timer
const load = () => { try { return JSON.parse(localStorage.getItem(store)) || [] } catch (e) { return memory } }
const keep = (body, add) => {
  memory = load().filter(other => other.idempotency_key !== body.idempotency_key).concat(add ? [body] : []).slice(-50)
  try { localStorage.setItem(store, JSON.stringify(memory)) } catch (e) { /* memory has it */ }
}
// A plain text needs no preflight, and outlives the page.
const attempt = async body => {
  let answer = {}
  try {
    answer = await fetch(url, { method: 'POST', body: JSON.stringify(body), keepalive: true, credentials: 'omit' })
  } catch (e) { /* no network */ }
  const { status = 0 } = answer
  if (!status || status === 408 || status === 429 || status >= 500) {
    wait = Math.min(wait * 2 || 2000, 3e5)
    clearTimeout(timer)
    timer = setTimeout(flush, Math.max(wait, status ? answer.headers.get('retry-after') * 1000 : 0))
    return { state: 'kept' }
  }
  wait = 0
  keep(body)
  const told = await answer.json().catch(() => ({}))
  if (status < 300) return { state: 'sent', id: told.id }
  console.error('loopd: ' + told.detail)
  return { state: 'refused', problem: told }
}
const flush = async () => {
  for (const body of load()) if ((await attempt(body)).state === 'kept') break
}
const name = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
const say = (kind, data) => {
  const body = Object.assign({
    key: set.key, idempotency_key: name(), kind, at: new Date().toISOString(), url: location.href.split(/[?#]/)[0],
    page_title: doc.title.slice(0, 200), locale: doc.documentElement.lang || navigator.language
  }, set.appVersion && { app_version: set.appVersion }, who, data)
  keep(body, true)
  return attempt(body)
}

const make = (tag, props, ...inside) => {
  const made = doc.createElement(tag)
  for (const at in props) at in made ? made[at] = props[at] : made.setAttribute(at, props[at])
  made.append(...inside)
  return made
}
const shadow = host => {
  const root = host.shadowRoot || host.attachShadow({ mode: 'open' })
  try {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(css)
    root.adoptedStyleSheets = [sheet]
  } catch (e) { root.append(make('style', { nonce: script.nonce }, css)) }
  return root
}
const text = (host, word) => host.dataset[word] || set[word] || words[word]
const about = host => {
  const { task, feature, query, reason, code } = host.dataset
  return JSON.parse(JSON.stringify({ task, feature, query, reason, error: code && { code } }))
}

// `end`: what closes it, and stays when the text is gone.
const form = (host, kind, question, data, end) => {
  const field = make('textarea', { id: 'text', rows: 4, maxLength: 10000, 'aria-describedby': 'note' })
  const note = make('p', { id: 'note', role: 'status', tabIndex: -1 }), label = make('label', { htmlFor: 'text' }, text(host, question))
  const send = make('button', { type: 'submit' }, text(host, 'send')), row = make('div', {}, send, ' ', ...end)
  let busy
  const made = make('form', { noValidate: true }, label, field, note, row)
  made.onsubmit = async event => {
    event.preventDefault()
    if (busy) return
    field.removeAttribute('aria-invalid')
    if (!field.value.trim()) {
      note.textContent = text(host, 'empty')
      field.setAttribute('aria-invalid', true)
      return field.focus()
    }
    busy = true
    note.textContent = ''
    const { state } = await say(kind, Object.assign({ text: field.value }, data()))
    busy = false
    note.textContent = text(host, { sent: 'thanks', kept: 'later', refused: 'failed' }[state])
    if (state === 'refused') return field.focus()
    label.hidden = field.hidden = send.hidden = true;
    (end[0] || note).focus()
  }
  return made
}
const dialog = (host, root) => {
  const close = make('button', { type: 'button' }, text(host, 'close'))
  const kind = host.dataset.kind || 'feedback', question = words[kind] ? kind : 'question'
  const made = make('dialog', { 'aria-labelledby': 'title' }, make('h2', { id: 'title' }, text(host, 'title')),
    form(host, kind, question, () => about(host), [close]))
  close.onclick = () => made.close()
  made.onclose = () => made.remove()
  root.append(made)
  made.showModal()
  made.querySelector('textarea').focus()
}
const parts = {
  link: (host, root, float) => {
    const made = make('button', { type: 'button', className: float ? 'float' : '', 'aria-haspopup': 'dialog' }, text(host, 'label'))
    made.onclick = () => dialog(host, root)
    return made
  },
  form: host => {
    const kind = host.dataset.kind || 'feedback'
    return form(host, kind, words[kind] ? kind : 'question', () => about(host), [])
  },
  thumbs: (host, root) => {
    const id = name(), made = make('div', { role: 'group', 'aria-labelledby': 'ask' }, make('p', { id: 'ask' }, text(host, 'thumbs')))
    let rating
    const data = () => Object.assign(about(host), { idempotency_key: id, rating })
    const hands = [['up', '👍'], ['down', '👎']].map(([way, hand]) => {
      const button = make('button', { type: 'button', 'aria-label': text(host, way), 'aria-pressed': false }, hand)
      button.onclick = () => {
        rating = way
        hands.forEach(other => other.setAttribute('aria-pressed', other === button))
        say('thumbs', data())
        // A word more is the same piece: it has the same key.
        if (!root.querySelector('form')) root.append(form(host, 'thumbs', 'more', data, []))
      }
      return button
    })
    made.append(hands[0], ' ', hands[1])
    return made
  }
}
const show = (host, part, float) => {
  const root = shadow(host)
  root.append(parts[part](host, root, float))
}
let floating
const render = () => {
  doc.querySelectorAll('[data-loopd]').forEach(host => {
    if (!host.shadowRoot && parts[host.dataset.loopd]) show(host, host.dataset.loopd)
  })
  if (!floating && set.link !== 'off') show(floating = doc.body.appendChild(make('div', {})), 'link', true)
}
const api = window.loopd = (what, data) => {
  if (what === 'identify') return void (who = Object.assign({}, who, data))
  if (what === 'render') return render()
  if (what === 'open') return dialog(script, shadow(doc.body.appendChild(make('div', {}))))
  return say(what, data)
}
if (doc.readyState === 'loading') doc.addEventListener('DOMContentLoaded', render)
else render();
(early ? early.q : []).forEach(call => api(...call))
addEventListener('online', flush)
flush()
})()
