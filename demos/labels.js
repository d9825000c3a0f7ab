() => {
  // The labels of Classify, which the tab keeps, with one that is being typed.
  const box = () => document.querySelector('#kf-labels input');
  const typed = () => (box()?.value || '').trim();
  const keep = (labels) => sessionStorage.setItem('kf-labels', JSON.stringify(labels));
  let chosen = JSON.parse(sessionStorage.getItem('kf-labels'));
  window.kfLabels = (usual) => [chosen ??= usual];  // a list of outputs, of which there is one
  window.kfLabelled = (labels) => keep(chosen = labels);
  window.kfJudged = (labels) => [...new Set([...labels, typed()])].filter((label) => label);
  // Gradio takes a label when its box loses the focus. The label may need a new row: not before the click is over.
  const button = (event) => event.target.closest('#kf-classify');
  document.addEventListener('mousedown', (event) => { if (button(event)) event.preventDefault(); }, true);
  document.addEventListener('click', (event) => { if (button(event)) setTimeout(() => button(event).focus()); }, true);
  addEventListener('pagehide', () => { if (typed() && chosen) keep([...chosen, typed()]); });
}
