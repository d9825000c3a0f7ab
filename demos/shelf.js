() => {
  // A video that is dropped anywhere on the page joins those that are open.
  const files = (event) => [...(event.dataTransfer?.types || [])].includes('Files');
  let depth = 0;
  const show = (on) => document.body.classList.toggle('kf-dropping', on);
  addEventListener('dragenter', (event) => { if (files(event)) { depth += 1; show(true); } }, true);
  addEventListener('dragleave', (event) => { if (files(event)) { depth = Math.max(0, depth - 1); show(depth > 0); } }, true);
  addEventListener('dragover', (event) => { if (files(event)) event.preventDefault(); }, true);
  addEventListener('drop', (event) => {
    depth = 0;
    show(false);
    if (!files(event) || event.defaultPrevented) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const file = event.dataTransfer.files[0];
    if (file) document.dispatchEvent(new CustomEvent('kf-upload', { detail: { file } }));
  }, true);
  document.addEventListener('click', (event) => {
    if (event.target.closest('[data-stop]')) document.dispatchEvent(new CustomEvent('kf-stop'));
  });
}
