() => {
  // A part of the video: dragged over the curves, or given by its times; the server is told through the bridge.
  const LEAST = 6;  // pixels: less is a click
  const tell = (start, end) => document.dispatchEvent(new CustomEvent('kf-part', { detail: { start, end } }));
  const within = (plot, x) => {
    const box = plot.getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - box.left) / box.width));
  };
  const range = (plot) => plot.querySelector('.kf-range') || plot.appendChild(Object.assign(document.createElement('div'), { className: 'kf-range' }));
  const place = (plot, from, to) => {
    const shade = range(plot);
    shade.style.left = 100 * Math.min(from, to) + '%';
    shade.style.width = 100 * Math.abs(to - from) + '%';
  };
  let drag = null, dragged = false, typed = null;
  // The form stays open, with what was typed, where the page draws it anew.
  const remember = (event) => {
    const details = event.target.closest?.('details.kf-part');
    if (details) typed = { details, open: details.open, from: details.querySelector('[name=from]').value, to: details.querySelector('[name=to]').value, focus: event.type === 'toggle' ? document.activeElement : event.target };
  };
  for (const name of ['toggle', 'input', 'click', 'focusin']) document.addEventListener(name, remember, true);
  const restore = () => {
    const details = document.querySelector('details.kf-part');
    if (!typed || !details || details === typed.details) return;
    const focused = document.activeElement === document.body && typed.details.contains(typed.focus) ? typed.focus.name : '';
    details.open = typed.open;
    for (const name of ['from', 'to']) details.querySelector(`[name=${name}]`).value = typed[name];
    if (focused) details.querySelector(`[name=${focused}]`).focus();
    typed.details = details;
  };
  const settle = () => {  // as the server has it
    const part = document.querySelector('#kf-keyframes .kf-part[data-start]');
    restore();
    for (const plot of document.querySelectorAll('#kf-keyframes .kf-plot')) {
      const shade = plot.querySelector('.kf-range');
      if (part) place(plot, part.dataset.start / plot.dataset.duration, part.dataset.end / plot.dataset.duration);
      else if (shade && !drag) shade.remove();
    }
  };
  document.addEventListener('pointerdown', (event) => {
    const plot = event.target.closest('#kf-keyframes .kf-plot');
    dragged = false;
    if (!plot || event.button || event.target.closest('.kf-pick')) return;
    drag = { x: event.clientX, from: within(plot, event.clientX), duration: +plot.dataset.duration };
  }, true);
  document.addEventListener('pointermove', (event) => {
    if (!drag || (!dragged && Math.abs(event.clientX - drag.x) < LEAST)) return;
    const plot = document.querySelector('#kf-keyframes .kf-plot');  // which may have been drawn anew meanwhile
    if (!plot) return;
    dragged = true;
    event.preventDefault();
    place(plot, drag.from, within(plot, event.clientX));
  }, true);
  const end = (event) => {
    if (!drag) return;
    const plot = document.querySelector('#kf-keyframes .kf-plot'), { from, duration } = drag;
    drag = null;
    if (!dragged || !plot || event.type !== 'pointerup') return settle();
    const to = within(plot, event.clientX);
    tell(Math.min(from, to) * duration, Math.max(from, to) * duration);
  };
  for (const name of ['pointerup', 'pointercancel']) document.addEventListener(name, end, true);
  document.addEventListener('click', (event) => {  // the click that ends a drag jumps nowhere
    if (dragged && event.target.closest('.kf-plot')) { event.stopImmediatePropagation(); event.preventDefault(); }
    dragged = false;
    if (event.target.closest('.kf-whole')) tell(null, null);
    const here = event.target.closest('.kf-here'), player = document.querySelector('#kf-player video');
    if (!here || !player) return;
    const field = here.closest('form').elements[here.dataset.field];
    field.value = player.currentTime.toFixed(1);
    field.dispatchEvent(new Event('input', { bubbles: true }));
  }, true);
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !drag) return;
    drag = null;
    event.preventDefault();
    settle();
  }, true);
  document.addEventListener('submit', (event) => {
    const form = event.target.closest('.kf-part form');
    if (!form) return;
    event.preventDefault();
    tell(form.elements.from.value, form.elements.to.value);
  }, true);
  new MutationObserver((changes) => {
    if (changes.some((change) => change.target.closest?.('#kf-keyframes'))) settle();
  }).observe(document.body, { childList: true, subtree: true });
}
