() => {
  // An upload with its percentage, which can be cancelled. Gradio's own shows neither.
  const place = () => document.querySelector('#kf-uploading');
  const megabytes = (bytes) => (bytes / 1e6 < 10 ? (bytes / 1e6).toFixed(1) : Math.round(bytes / 1e6)) + ' MB';
  const element = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });
  let request = null, most = Infinity;
  const clear = () => { place().querySelector('.kf-upload')?.remove(); };
  const tell = (text) => {
    clear();
    const trouble = element('p', 'kf-trouble kf-upload', text);
    trouble.setAttribute('role', 'alert');
    place().append(trouble);
  };
  const card = (file) => {
    clear();
    const box = element('div', 'kf-stages kf-upload'), line = element('p', ''), share = element('span', 'kf-share', '0 %');
    const cancel = element('button', 'kf-tool', 'Cancel'), bar = element('div', 'kf-bar');
    cancel.type = 'button';
    cancel.addEventListener('click', () => request?.abort());
    line.append(`Uploading ${file.name}, ${megabytes(file.size)}: `, share, cancel);
    bar.append(element('div', ''));
    bar.setAttribute('role', 'progressbar');
    bar.setAttribute('aria-label', 'Upload');
    bar.setAttribute('aria-valuemin', '0');
    bar.setAttribute('aria-valuemax', '100');
    box.append(line, bar);
    place().append(box);
    return (done) => {
      share.textContent = Math.floor(100 * done) + ' %';
      bar.setAttribute('aria-valuenow', Math.floor(100 * done));
      bar.firstChild.style.width = 100 * done + '%';
    };
  };
  const send = (file) => {
    most = +(document.querySelector('.kf-limits')?.dataset.most || most);  // gone while a video is shown
    if (!file.size) return tell(`${file.name} is empty; give another file.`);
    if (file.size > most) return tell(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(most)} are taken here.`);
    request?.abort();
    const sent = request = new XMLHttpRequest(), draw = card(file), form = new FormData();
    form.append('files', file);
    sent.upload.addEventListener('progress', (event) => draw(event.loaded / event.total));
    sent.addEventListener('load', () => {
      request = null;
      if (sent.status !== 200) return tell(`${file.name} was not taken: ${sent.responseText || sent.statusText}`);
      clear();
      document.dispatchEvent(new CustomEvent('kf-uploaded', { detail: { file: JSON.parse(sent.responseText)[0] } }));
    });
    sent.addEventListener('error', () => { request = null; tell(`The connection broke while ${file.name} was uploaded; give it again.`); });
    sent.addEventListener('abort', () => { if (request === sent) { request = null; clear(); } });
    sent.open('POST', 'gradio_api/upload');
    sent.send(form);
    draw(0);
  };
  document.addEventListener('kf-upload', (event) => send(event.detail.file));
  addEventListener('change', (event) => {
    if (!event.target.matches?.('#kf-upload input[type=file]') || !event.target.files.length) return;
    event.stopImmediatePropagation();
    send(event.target.files[0]);
    event.target.value = '';
  }, true);
  addEventListener('drop', (event) => {
    if (!event.target.closest?.('#kf-upload') || !event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    send(event.dataTransfer.files[0]);
  }, true);
  document.addEventListener('click', (event) => { if (event.target.closest('#kf-examples button')) { request?.abort(); clear(); } }, true);
}
