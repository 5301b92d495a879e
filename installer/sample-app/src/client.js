const clock = document.getElementById('clock');
const drops = document.getElementById('drops');
let dropped = 0;

const source = new EventSource('/clock');
source.onmessage = (event) => { clock.textContent = event.data; };
source.onerror = () => {
  dropped += 1;
  drops.textContent = `(reconnected ${dropped} time${dropped === 1 ? '' : 's'})`;
};

document.getElementById('send').onclick = async () => {
  const file = document.getElementById('file').files[0];
  if (!file) return;
  const answer = await fetch(`/uploads/${encodeURIComponent(file.name)}`, { method: 'PUT', body: file });
  if (answer.ok) location.reload();
  else alert((await answer.json()).error);
};
