// People: a role is changed by choosing it; removing somebody is asked once more.
for (const form of document.querySelectorAll<HTMLFormElement>("form[data-roles]")) {
  form.querySelector("button")?.classList.add("visually-hidden"); // stays for the keyboard and without this script
  form.querySelector("select")?.addEventListener("change", () => form.requestSubmit());
}
for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-confirm]")) {
  button.addEventListener("click", (event) => {
    if (!window.confirm(button.dataset["confirm"])) event.preventDefault();
  });
}
