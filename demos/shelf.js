() => {
  // Videos that are dropped anywhere on the page join those that are open.
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
    const dropped = [...event.dataTransfer.files];
    if (dropped.length) document.dispatchEvent(new CustomEvent('kf-upload', { detail: { files: dropped } }));
  }, true);
  document.addEventListener('click', (event) => {
    if (event.target.closest('[data-stop]')) document.dispatchEvent(new CustomEvent('kf-stop'));
  });
}
