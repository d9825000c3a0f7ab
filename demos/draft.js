() => {
  // What the tab keeps: the conversations, the question that is being written, and one that the server did not take.
  const CHECK_SECONDS = 20;
  const box = () => document.querySelector('#kf-question textarea');
  const state = () => document.querySelector('#kf-kept [data-kept]');
  const write = (text) => {
    box().value = text;
    box().dispatchEvent(new Event('input', { bubbles: true }));
  };
  const keep = (text) => sessionStorage.setItem('kf-draft', text);
  let sent = '', draft = sessionStorage.getItem('kf-draft') || '';
  window.kfSent = (question) => {  // called when it is sent; the box is free for the next one at once
    if (!question.trim()) return question;
    sent = question;
    write('');
    keep(question);
    return question;
  };
  const taken = () => {
    if (!sent || state()?.dataset.asked !== sent.trim()) return;
    sent = '';
    keep(box()?.value || '');
  };
  window.kfRefused = () => setTimeout(() => {
    taken();
    if (sent && box() && !box().value) write(sent);
    sent = '';
  }, 400);
  document.addEventListener('input', (event) => { if (event.target === box()) keep(box().value || sent); }, true);
  const save = () => {
    taken();
    if (state()) sessionStorage.setItem('kf-conversation', state().dataset.kept);
    if (draft && box() && !box().disabled) {
      if (!box().value && state()?.dataset.asked !== draft.trim()) write(draft);
      draft = '';
    }
    if (document.querySelector('#kf-kept [data-ended]')) location.reload();
  };
  setInterval(save, 500);
  addEventListener('pagehide', save);
  // Whether the server still has the session: it may have been started again, or this machine was asleep.
  const check = () => document.dispatchEvent(new CustomEvent('kf-check', { detail: { shown: Boolean(document.querySelector('#kf-player [data-name]')) } }));
  setInterval(() => { if (!document.hidden) check(); }, 1000 * CHECK_SECONDS);
  for (const name of ['online', 'visibilitychange']) addEventListener(name, () => { if (!document.hidden) check(); });
}
