() => {
  // Keys, and the sheet that lists them. Single letters can be switched off, for those who speak to a computer.
  const player = () => document.querySelector('#kf-player video');
  const frames = () => [...document.querySelectorAll('#kf-keyframes .kf-picks .kf-frame')];
  const skip = (seconds) => { if (player()) player().currentTime = Math.max(0, player().currentTime + seconds); };
  const step = (way) => {
    const at = player()?.currentTime ?? 0, all = frames();
    const next = way > 0 ? all.find((frame) => +frame.dataset.second > at + 0.05) : all.reverse().find((frame) => +frame.dataset.second < at - 0.05);
    next?.click();
  };
  const edge = (name) => {
    const details = document.querySelector('details.kf-part');
    if (!details || !player()) return;
    details.open = true;
    details.querySelector(`[data-field=${name}]`).click();
    if (name === 'to' && details.querySelector('[name=from]').value) details.querySelector('form').requestSubmit();
  };
  const tab = (name) => [...document.querySelectorAll('#kf-right [role=tab]')].find((one) => one.textContent.trim() === name)?.click();
  const search = () => {
    tab('Transcript');
    const focus = (tries) => {
      const field = document.querySelector('#kf-transcript input[type=search]');
      if (field) field.focus();
      else if (tries) setTimeout(() => focus(tries - 1), 100);
    };
    focus(20);
  };
  const KEYS = {
    k: ['Play or pause', () => (player()?.paused ? player().play() : player()?.pause())],
    j: ['5 seconds back', () => skip(-5)],
    l: ['5 seconds ahead', () => skip(5)],
    n: ['Next key frame', () => step(1)],
    p: ['Previous key frame', () => step(-1)],
    '[': ['The part that is asked about begins here', () => edge('from')],
    ']': ['… and ends here', () => edge('to')],
    t: ['Search the transcript', search],
    c: ['Back to the chat', () => tab('Chat')],
  };
  const OTHERS = [['/', 'Go to the question'], ['Enter', 'Ask'], ['↑', 'In an empty box: edit the last question'],
    ['Esc', 'Stop the answer, or leave what is being edited'], ['?', 'This sheet']];
  const on = () => localStorage.getItem('kf-keys') !== 'off';
  let sheet = null;
  const element = (tag, text = '', more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
  const made = () => {
    const dialog = element('dialog', '', { className: 'kf-sheet' }), list = element('dl');
    dialog.setAttribute('aria-label', 'Keyboard shortcuts');
    for (const [key, what] of [...OTHERS, ...Object.entries(KEYS).map(([key, [what]]) => [key, what])]) {
      const term = element('dt');
      term.append(element('kbd', key));
      list.append(term, element('dd', what));
    }
    const label = element('label'), box = element('input', '', { type: 'checkbox', checked: on() }), close = element('button', 'Close', { type: 'button', className: 'kf-tool' });
    box.addEventListener('change', () => localStorage.setItem('kf-keys', box.checked ? 'on' : 'off'));
    close.addEventListener('click', () => dialog.close());
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    label.append(box, ' Single keys do something');
    dialog.append(element('h2', 'Keyboard shortcuts'), list, label, close);
    return document.querySelector('.gradio-container').appendChild(dialog);
  };
  const open = () => { sheet = sheet?.isConnected ? sheet : made(); if (!sheet.open) sheet.showModal(); };
  document.addEventListener('click', (event) => { if (event.target.closest('.kf-help')) open(); });
  document.addEventListener('keydown', (event) => {
    if (sheet?.open && event.key === 'Escape') return event.stopImmediatePropagation();  // it closes the sheet alone
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || sheet?.open) return;
    if (event.target.closest('input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable=true]')) return;
    if (!on()) return event.key === '/' ? event.stopImmediatePropagation() : undefined;
    if (event.key === '?') { event.preventDefault(); open(); }
    if (event.key in KEYS) { event.preventDefault(); KEYS[event.key][1](); }
  }, true);
}
