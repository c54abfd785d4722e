// Passkeys: asks the server for options, the browser for a key, and sends its answer in the form's field.
(() => {
  "use strict";
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) return;

  async function answer(form, make) {
    const error = form.querySelector("[data-failed]");
    error.hidden = true;
    try {
      const response = await fetch(make.url, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(String(response.status));
      const credential = await make.ask(await response.json());
      form.elements.answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      error.textContent = error.dataset.failed;
      error.hidden = false;
    }
  }

  for (const form of document.querySelectorAll("[data-passkey-log-in]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer(form, {
        url: form.dataset.passkeyLogIn,
        ask: (options) => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }),
      });
    });
  }
  for (const form of document.querySelectorAll("[data-passkey-add]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer(form, {
        url: form.dataset.passkeyAdd,
        ask: (options) => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }),
      });
    });
  }
})();
