/* Buttons that copy a field: <button data-copy="id of the field">. */

const $ = (id) => document.getElementById(id);

/** Let all buttons of the page copy. What was copied is said in #said, too. */
export function enableCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const field = $(button.dataset.copy);
    const name = document.querySelector(`label[for="${field.id}"]`).textContent;
    const verb = document.createElement("span");
    const what = document.createElement("span");
    verb.textContent = "Copy";
    what.textContent = ` ${name}`;
    what.className = "unseen";
    button.replaceChildren(verb, what);
    button.addEventListener("click", () => copy(button, verb, field, name));
  }
}

async function copy(button, verb, field, name) {
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    field.select(); // pages without HTTPS have no clipboard of their own
    document.execCommand("copy");
    button.focus();
  }
  verb.textContent = "Copied";
  button.classList.add("done");
  const words = `${name} copied`;
  $("said").textContent = words;
  setTimeout(() => {
    verb.textContent = "Copy";
    button.classList.remove("done");
    if ($("said").textContent === words) $("said").textContent = "";
  }, 2000);
}
