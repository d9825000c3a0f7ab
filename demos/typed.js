() => {
  // What is typed and not given yet, the caption and the times of a part, and the focus: a page that is loaded again
  // has them. The question is kept by draft.js, labels by labels.js.
  const QUESTION = '#kf-question textarea', CAPTION = '#kf-caption textarea';
  const TIMES = ['.kf-part [name=from]', '.kf-part [name=to]'], FIELDS = [CAPTION, ...TIMES];
  const SETTLED = 10;  // times that a field is looked at: the page may draw it once more
  const folder = () => document.querySelector('#kf-player [data-folder]')?.dataset.folder;
  const read = () => JSON.parse(sessionStorage.getItem('kf-typed') || '{}');
  const keep = (typed) => sessionStorage.setItem('kf-typed', JSON.stringify({ ...typed, video: folder() }));
  const matching = (element, fields) => fields.find((field) => element?.matches?.(field));
  const left = read(), held = {};  // of the page before, and how long a field has what was left
  const given = (fields) => {
    fields.forEach((field) => delete left[field]);
    keep(Object.fromEntries(Object.entries(read()).filter(([field]) => !fields.includes(field))));
  };
  document.addEventListener('input', ({ target, isTrusted }) => {
    const field = matching(target, FIELDS), before = read();
    if (isTrusted) delete left[field];
    if (field) keep({ ...(before.video === folder() ? before : {}), [field]: target.value });
  }, true);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && event.target.matches?.(CAPTION)) given([CAPTION]);
  }, true);
  document.addEventListener('submit', (event) => { if (event.target.closest('.kf-part form')) given(TIMES); }, true);
  window.kfReload = () => {
    sessionStorage.setItem('kf-focus', matching(document.activeElement, [QUESTION, ...FIELDS]) || '');
    location.reload();
  };
  const free = (field) => document.querySelector(`${field}:not([disabled])`);
  let focus = sessionStorage.getItem('kf-focus');
  sessionStorage.removeItem('kf-focus');
  const restore = () => {
    if (folder() === undefined) return;  // nothing is drawn yet
    for (const field of left.video === folder() ? FIELDS : []) {
      const element = field in left && free(field);
      if (!element) continue;
      held[field] = element.value === left[field] ? (held[field] || 0) + 1 : 0;
      if (held[field] >= SETTLED) delete left[field];
      if (held[field]) continue;
      if (element.closest('details')) element.closest('details').open = true;
      element.value = left[field];
      element.dispatchEvent(new Event('input', { bubbles: true }));
    }
    if (!focus || !free(focus)) return;
    const now = document.activeElement;  // page.js gives it to the question
    if (now === document.body || (now.matches(QUESTION) && !now.value)) free(focus).focus({ preventScroll: true });
    focus = '';
  };
  setInterval(restore, 200);
}
