// The curl line gets the address this page was really asked at, and a button that copies it.
const command = document.getElementById("command");
const copy = document.getElementById("copy");

command.textContent = command.textContent.replace(/https?:\/\/\S+(?=\/v1\/convert)/, location.origin);

// Browsers hand out the clipboard over HTTPS and on localhost only.
if (navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command);
      copy.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
}
