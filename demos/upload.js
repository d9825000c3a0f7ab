() => {
  // An upload with its percentage, which can be cancelled. Gradio's own shows neither.
  const place = () => document.querySelector('#kf-uploading');
  const megabytes = (bytes) => bytes >= 1e9 ? (bytes / 1e9).toFixed(1) + ' GB' : (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + ' MB';
  const element = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });
  let request = null, most = Infinity;
  const waiting = [];  // files that are sent one after the other
  const clear = (what) => place().querySelectorAll(what).forEach((shown) => shown.remove());
  const tell = (text, ...more) => {
    const trouble = element('p', 'kf-trouble kf-upload', text);
    trouble.setAttribute('role', 'alert');
    trouble.append(...more);
    place().append(trouble);
  };
  const again = (file) => {
    const button = element('button', 'kf-tool', 'Try again');
    button.type = 'button';
    button.addEventListener('click', () => { button.parentElement.remove(); bring([file]); });
    return button;
  };
  const card = (file) => {
    const box = element('div', 'kf-stages kf-upload'), line = element('p', ''), share = element('span', 'kf-share', '0 %');
    const cancel = element('button', 'kf-tool', 'Cancel'), bar = element('div', 'kf-bar');
    cancel.type = 'button';
    cancel.addEventListener('click', () => request?.abort());
    line.append(`Uploading ${file.name}, ${megabytes(file.size)}: `, share, element('span', 'kf-waiting'), cancel);
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
  const allowed = (file) => {
    if (!file.size) tell(`${file.name} is empty; give another file.`);
    else if (file.size > most) tell(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(most)} are taken here.`);
    return file.size > 0 && file.size <= most;
  };
  const counted = () => {
    const shown = place().querySelector('.kf-waiting');
    if (shown) shown.textContent = waiting.length ? `, then ${waiting.length} more` : '';
  };
  const next = () => {
    if (!request && waiting.length) send(waiting.shift());
    counted();
  };
  const bring = (files) => {
    most = +(document.querySelector('.kf-limits')?.dataset.most || most);  // gone while a video is shown
    if (!request) clear('.kf-upload');
    waiting.push(...[...files].filter(allowed));
    next();
  };
  const send = (file) => {
    const sent = request = new XMLHttpRequest(), draw = card(file), form = new FormData();
    const end = () => { request = null; clear('.kf-stages'); };
    form.append('files', file);
    sent.upload.addEventListener('progress', (event) => draw(event.loaded / event.total));
    sent.addEventListener('load', () => {
      end();
      if (sent.status !== 200) tell(`${file.name} was not taken: ${sent.responseText || sent.statusText}`);
      else document.dispatchEvent(new CustomEvent('kf-uploaded', { detail: { file: JSON.parse(sent.responseText)[0] } }));
      next();
    });
    sent.addEventListener('error', () => {
      end();
      tell(`The connection broke while ${file.name} was uploaded. `, again(file));
      next();
    });
    sent.addEventListener('abort', () => { end(); next(); });
    sent.open('POST', 'gradio_api/upload');
    sent.send(form);
    draw(0);
  };
  document.addEventListener('kf-upload', (event) => bring(event.detail.files));
  addEventListener('beforeunload', (event) => { if (request) event.preventDefault(); });
  addEventListener('change', (event) => {
    if (!event.target.matches?.('#kf-upload input[type=file]') || !event.target.files.length) return;
    event.stopImmediatePropagation();
    bring(event.target.files);
    event.target.value = '';
  }, true);
  addEventListener('drop', (event) => {
    if (!event.target.closest?.('#kf-upload') || !event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    bring(event.dataTransfer.files);
  }, true);
  document.addEventListener('click', (event) => {
    if (!event.target.closest('#kf-examples button')) return;
    waiting.length = 0;
    request?.abort();
    clear('.kf-upload');
  }, true);
}
