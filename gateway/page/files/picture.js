// The picture goes into the page's own calls, as text: it is never a file on the server.
const show = (file) => {
  if (!file) return;
  if (file.size > props.largest) {
    props.problem = `This file has ${file.size} bytes; at most ${props.largest} are taken.`;
    return;
  }
  const reader = new FileReader();
  reader.onload = () => {
    props.problem = "";
    props.value = reader.result;
    trigger("change");
  };
  reader.readAsDataURL(file);
};
// On the element: its content is made anew with each value.
element.addEventListener("change", (event) => show(event.target.files?.[0]));
element.addEventListener("dragover", (event) => event.preventDefault());
element.addEventListener("drop", (event) => {
  event.preventDefault();
  show(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => show(event.clipboardData.files[0]));
