() => {
  // What the tab keeps: the conversations, the question that is being written, and one that the server did not take.
  const CHECK_SECONDS = 20;
  const box = () => document.querySelector('#kf-question textarea');
  const state = () => document.querySelector('#kf-kept [data-kept]');
  const player = () => document.querySelector('#kf-player [data-folder]');
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
    if (player() || state()) sessionStorage.setItem('kf-video', player()?.dataset.folder || '-');  // - is the beginning
    if (draft && box() && !box().disabled) {
      if (!box().value && state()?.dataset.asked !== draft.trim()) write(draft);
      draft = '';
    }
    if (document.querySelector('#kf-ended [data-ended]')) window.kfReload();
  };
  setInterval(save, 500);
  addEventListener('pagehide', save);
  // Whether the server still has the session: it may have been started again, or this machine was asleep. When the
  // page is looked at again: whether it shows the session as it is, for another tab may have the same one.
  const check = (looked) => {
    const video = player()?.dataset.folder || '', busy = document.querySelector('.kf-upload.kf-stages');
    const said = state()?.dataset.folder === video ? state().dataset.said : '';
    const detail = { shown: Boolean(video), looked: Boolean(looked && video && !busy), video, said };
    document.dispatchEvent(new CustomEvent('kf-check', { detail }));
  };
  setInterval(() => { if (!document.hidden) check(false); }, 1000 * CHECK_SECONDS);
  for (const name of ['online', 'visibilitychange', 'focus']) addEventListener(name, () => { if (!document.hidden) check(true); });
  // The tab of the page that is in view.
  const tabs = () => [...document.querySelectorAll('#kf-right [role=tab]')];
  document.addEventListener('click', (event) => {
    const tab = event.target.closest('#kf-right [role=tab]');
    if (tab) sessionStorage.setItem('kf-tab', tab.textContent.trim());
  }, true);
  const inView = sessionStorage.getItem('kf-tab');
  const shown = setInterval(() => {
    if (!tabs().length) return;
    clearInterval(shown);
    tabs().find((tab) => tab.textContent.trim() === inView)?.click();
  }, 50);
}
