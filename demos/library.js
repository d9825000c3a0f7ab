() => {
  // A moment of the library: the server opens its video, and the player goes to its second once it is there.
  const open = (cell) => document.dispatchEvent(new CustomEvent('kf-found', { detail: { number: +cell.dataset.number } }));
  document.addEventListener('click', (event) => {
    const cell = event.target.closest('.kf-moment');
    if (!cell) return;
    const hash = '#t=' + cell.dataset.at + '&video=' + encodeURIComponent(cell.dataset.name);
    history.replaceState({ search: true }, '', location.pathname + location.search);
    location.hash = hash;
    history.replaceState({ hash }, '', hash);
    open(cell);
  });
  // The browser's Back leads to the search, its Forward to the moment, where that is still among those found.
  addEventListener('popstate', ({ state }) => {
    const cell = [...document.querySelectorAll('.kf-moment')].find(({ dataset }) =>
      state?.hash === '#t=' + dataset.at + '&video=' + encodeURIComponent(dataset.name));
    if (cell) open(cell);
    if (state?.search && document.querySelector('#kf-player [data-name]')) document.querySelector('#kf-another')?.click();
  });
  // The tab keeps what is typed, and what was searched for last: where that did not arrive, it is searched for again.
  const box = () => document.querySelector('#kf-search :is(input, textarea)');
  const typed = sessionStorage.getItem('kf-search');
  const put = setInterval(() => {
    if (!box()) return;
    clearInterval(put);
    if (!typed || box().value) return;
    box().value = typed;
    box().dispatchEvent(new Event('input', { bubbles: true }));
  }, 200);
  document.addEventListener('input', (event) => { if (event.target === box()) sessionStorage.setItem('kf-search', box().value); }, true);
  window.kfSearched = (text) => {
    sessionStorage.setItem('kf-searched', text);
    return text;
  };
  window.kfSearch = () => sessionStorage.getItem('kf-searched') || '';
}
