() => {
  // A question is put back into the box, to be asked in other words in its place.
  let turn = '';
  const box = () => document.querySelector('#kf-question textarea');
  const write = (text) => {
    box().value = text;
    box().dispatchEvent(new Event('input', { bubbles: true }));
  };
  const note = () => document.querySelector('.kf-editing');
  const leave = () => {
    turn = '';
    note()?.remove();
  };
  window.kfEdited = () => {  // called when the question is sent
    const name = turn;
    leave();
    return name;
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-edit]');
    if (event.target.closest('.kf-leave')) { leave(); write(''); box().focus(); }
    if (!button || !box() || box().disabled) return;
    leave();
    turn = button.dataset.edit;
    write(button.dataset.question);
    const shown = Object.assign(document.createElement('p'), { className: 'kf-editing' });
    shown.setAttribute('role', 'status');
    const out = Object.assign(document.createElement('button'), { type: 'button', className: 'kf-tool kf-leave', textContent: 'Leave it (Esc)' });
    shown.append('Enter asks this question anew; what follows it goes. ', out);
    document.querySelector('#kf-question').before(shown);
    box().focus();
  });
  document.addEventListener('keydown', (event) => {
    if (event.target !== box()) return;
    if (event.key === 'Escape' && turn) { event.preventDefault(); leave(); write(''); }
    if (event.key === 'ArrowUp' && !box().value && !event.isComposing) {
      const last = [...document.querySelectorAll('[data-edit]')].pop();
      if (last) { event.preventDefault(); last.click(); }
    }
  }, true);
}
