// A form that is sent is not sent again before its answer is there: a hand that presses twice does a deed once.

const PATIENCE_MS = 8000; // then it may be tried again: a file to be fetched leaves the page as it is

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, PATIENCE_MS);
});
addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
  }
});
