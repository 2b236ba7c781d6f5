// On paper: light colours, every section open, pictures as wide as the sheet.
let openedForPaper = [];

function beforePaper() {
  openedForPaper = [...document.querySelectorAll("details:not([open])")];
  for (const one of openedForPaper) one.open = true;
  onPaper = true;
  showTheme("light");
  redrawn(); // all numbers are unpacked, so that this is done before the sheets are laid out
}

function afterPaper() {
  for (const one of openedForPaper) one.open = false;
  onPaper = false;
  showTheme();
  redrawn();
}

window.addEventListener("beforeprint", beforePaper);
window.addEventListener("afterprint", afterPaper);
