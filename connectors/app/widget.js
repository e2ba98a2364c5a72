/* loopd's widget: the feedback link, the thumbs, the one-field form. docs/vendors/app.md */
(() => {
'use strict'
const doc = document, script = doc.currentScript, set = script.dataset, early = window.loopd
if (early && early.ready) return
const url = set.url || script.src.replace(/widget\.js([?#].*)?$/, 'feedback'), store = 'loopd:' + set.key
const words = {
 label: 'Feedback', title: 'Your feedback', question: 'What could be better?', send: 'Send', close: 'Close',
 error: 'What were you trying to do?', search: 'What were you looking for?', cancellation: 'Why are you leaving?',
 thumbs: 'Did this work for you?', up: 'Yes, it worked', down: 'No, it did not work', more: 'Would you like to say more?',
 thanks: 'Thank you. Somebody will read this.', later: 'Thank you. This is kept, and sent as soon as we can be reached.',
 failed: 'This could not be sent, and that is our fault. Please try again later.', empty: 'Please write a few words first.'
}
const css = `:host{all:initial!important}*{box-sizing:border-box;font:16px/1.4 system-ui,sans-serif;color:#1a1a1a}
button{min-height:40px;padding:6px 16px;border:1px solid #595959;border-radius:8px;background:#fff;cursor:pointer}
.float{position:fixed;inset-block-end:16px;inset-inline-end:16px;z-index:2147483000}
.float,[type=submit]{color:#fff;background:var(--loopd-color,#0b57d0);border-color:transparent}
[aria-pressed=true]{background:#d3e3fd}:focus-visible{outline:3px solid #0b57d0;outline-offset:2px}
textarea{width:100%;padding:8px;border:1px solid #595959;border-radius:8px;background:#fff}[aria-invalid]{border-color:#b3261e}
label,h2,p{display:block;margin:0 0 8px}h2{font-size:20px;font-weight:600}[hidden],p:empty{display:none}
dialog{width:min(450px,90vw);border:1px solid #595959;border-radius:12px;background:#fff}::backdrop{background:#0008}
@media (prefers-reduced-motion:no-preference){button{transition:background .15s}}`

// What is not sent yet, by its name: kept through reloads, and in memory where nothing may be stored.
let memory = {}, who = {}, wait = 0, timer, last = Promise.resolve()
const load = () => { try { return JSON.parse(localStorage.getItem(store)) || {} } catch (e) { return memory } }
const save = kept => {
 for (const old of Object.keys(kept).slice(0, -50)) delete kept[old]
 memory = kept
 try { localStorage.setItem(store, JSON.stringify(kept)) } catch (e) { /* memory has it */ }
}
const once = async name => {
 let kept = load(), body = kept[name], answer = {}
 if (!body) return { state: 'sent' }
 try {
  // A plain text needs no preflight and outlives the page.
  const signal = AbortSignal.timeout && AbortSignal.timeout(15000)
  answer = await fetch(url, { method: 'POST', body, signal, keepalive: true, credentials: 'omit' })
 } catch (e) { /* no network, or no answer */ }
 const { status = 0 } = answer
 if (!status || status === 408 || status === 429 || status > 499) {
  wait = Math.min(wait * 2 || 2000, 3e5)
  clearTimeout(timer)
  timer = setTimeout(flush, Math.max(wait, status && answer.headers.get('retry-after') * 1000))
  return { state: 'kept' }
 }
 wait = 0
 kept = load()
 if (kept[name] === body) delete kept[name]
 save(kept)
 const told = await answer.json().catch(() => ({}))
 if (status < 300) return { state: 'sent', id: told.id }
 console.error('loopd: ' + told.detail)
 return { state: 'refused', problem: told }
}
// One after another: the last word about a piece arrives last.
const attempt = name => last = last.then(() => once(name))
const flush = async () => {
 for (const name in load()) if ((await attempt(name)).state === 'kept') break
}
const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
const say = (kind, data) => {
 const body = Object.assign({
  key: set.key, idempotency_key: fresh(), kind, at: new Date().toISOString(), url: location.href.split(/[?#]/)[0].slice(0, 2048),
  page_title: doc.title.slice(0, 200), locale: doc.documentElement.lang || navigator.language, app_version: set.appVersion
 }, who, data)
 const name = body.idempotency_key
 save(Object.assign(load(), { [name]: JSON.stringify(body) }))
 return attempt(name)
}

const make = (tag, props, ...inside) => {
 const made = doc.createElement(tag)
 for (const at in props) at in made ? made[at] = props[at] : made.setAttribute(at, props[at])
 made.append(...inside)
 return made
}
const text = (host, word) => host.dataset[word] || set[word] || words[word]
const about = host => {
 const { task, feature, query, reason, code } = host.dataset
 return { task, feature, query, reason, error: code && { code } }
}
const kindOf = host => host.dataset.kind || 'feedback'

// `end`: what closes it, and stays when the field is gone.
const form = (host, kind, piece, end) => {
 const question = kind === 'thumbs' ? 'more' : words[kind] ? kind : 'question'
 const field = make('textarea', { id: 'text', rows: 4, maxLength: 10000, 'aria-describedby': 'note' })
 const note = make('p', { id: 'note', role: 'status', tabIndex: -1 }), label = make('label', { htmlFor: 'text' }, text(host, question))
 const send = make('button', { type: 'submit' }, text(host, 'send'))
 const made = make('form', { noValidate: true }, label, field, note, send, ' ', ...end)
 let busy
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
  piece.text = field.value
  const { state } = await say(kind, piece)
  busy = false
  note.textContent = text(host, { sent: 'thanks', kept: 'later', refused: 'failed' }[state])
  if (state === 'refused') return field.focus()
  label.hidden = field.hidden = send.hidden = true;
  (end[0] || note).focus()
 }
 return made
}
const open = (host, root) => {
 const close = make('button', { type: 'button' }, text(host, 'close'))
 const made = make('dialog', { 'aria-labelledby': 'title' }, make('h2', { id: 'title' }, text(host, 'title')),
  form(host, kindOf(host), about(host), [close]))
 close.onclick = () => made.close()
 made.onclose = () => made.remove()
 root.append(made)
 made.showModal()
}
const parts = {
 link: (host, root) => {
  const made = make('button', { type: 'button', className: host === floating ? 'float' : '', 'aria-haspopup': 'dialog' }, text(host, 'label'))
  made.onclick = () => open(host, root)
  return made
 },
 form: host => form(host, kindOf(host), about(host), []),
 thumbs: (host, root) => {
  const piece = Object.assign(about(host), { idempotency_key: fresh() }), note = make('p', { role: 'status' })
  const hands = [['up', '👍'], ['down', '👎']].map(([rating, hand]) => {
   const made = make('button', { type: 'button', 'aria-pressed': false }, make('span', { 'aria-hidden': true }, hand + ' '), text(host, rating))
   made.onclick = async () => {
    piece.rating = rating
    hands.forEach(other => other.setAttribute('aria-pressed', other === made))
    // A word more is the same piece: it has the same name.
    if (!root.querySelector('form')) root.append(form(host, 'thumbs', piece, []))
    note.textContent = (await say('thumbs', piece)).state === 'refused' ? text(host, 'failed') : ''
   }
   return made
  })
  return make('div', { role: 'group', 'aria-labelledby': 'ask' }, make('p', { id: 'ask' }, text(host, 'thumbs')), hands[0], ' ', hands[1], note)
 }
}
const show = (host, part) => {
 const root = host.attachShadow({ mode: 'open' })
 try {
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(css)
  root.adoptedStyleSheets = [sheet]
 } catch (e) { root.append(make('style', { nonce: script.nonce }, css)) }
 root.append(part ? parts[part](host, root) : '')
 return root
}
let floating, dialogs
const render = () => {
 doc.querySelectorAll('[data-loopd]').forEach(host => {
  const part = host.dataset.loopd
  if (!host.shadowRoot && parts[part]) show(host, part)
 })
 if (!floating && set.link !== 'off') show(floating = doc.body.appendChild(make('div', {})), 'link')
}
const api = window.loopd = (what, data) => {
 if (what === 'identify') who = Object.assign({}, who, data)
 else if (what === 'render') render()
 else if (what === 'open') open(script, dialogs = dialogs || show(doc.body.appendChild(make('div', {}))))
 else return say(what, data)
}
api.ready = true
if (doc.readyState === 'loading') doc.addEventListener('DOMContentLoaded', render)
else render();
(early && early.q || []).forEach(call => api(...call))
addEventListener('online', flush)
flush()
})()
