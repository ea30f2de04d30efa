// A page's button for printing; without scripts there is none.

const button = document.querySelector("#print");
button.hidden = false;
button.addEventListener("click", () => print());
