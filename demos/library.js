() => {
  // A moment of the library: the server opens its video, and the player goes to its second once it is there.
  document.addEventListener('click', (event) => {
    const cell = event.target.closest('.kf-moment');
    if (!cell) return;
    history.replaceState(null, '', location.pathname + location.search);
    location.hash = '#t=' + cell.dataset.at + '&video=' + encodeURIComponent(cell.dataset.name);
    document.dispatchEvent(new CustomEvent('kf-found', { detail: { number: +cell.dataset.number } }));
  });
}
