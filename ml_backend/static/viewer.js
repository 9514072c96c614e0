// Brightness, contrast and zoom of the film by hand. The page is complete without it: the buttons
// above the film are plain radio and check boxes, and a link.
"use strict";

const film = document.querySelector(".plate");
const stage = document.querySelector(".stage");
const zoom = document.querySelector("#zoom");
const sliders = document.querySelector(".sliders");

if (film && stage && zoom && sliders) {
  sliders.hidden = false;

  sliders.addEventListener("input", (event) => {
    film.style.setProperty(`--${event.target.name}`, event.target.value / 100);
  });
  for (const preset of document.querySelectorAll("input[name=window]")) {
    preset.addEventListener("change", () => {
      film.removeAttribute("style");
      for (const slider of sliders.querySelectorAll("input")) slider.value = 100;
    });
  }

  // The heat map is switched without loading the page again, and computed when it is first seen.
  const heat = document.querySelector(".heat");
  const button = document.querySelector("#heat");
  button?.addEventListener("click", (event) => {
    event.preventDefault();
    heat.hidden = !heat.hidden;
    document.querySelector(".heat-note").hidden = heat.hidden;
    button.setAttribute("aria-pressed", String(!heat.hidden));
    if (!heat.src) heat.src = heat.dataset.src;
  });

  // Enlarged, the film is shown around a place of it: 0..1 from its left and from its top.
  const show = (across, down) => {
    stage.scrollLeft = across * stage.scrollWidth - stage.clientWidth / 2;
    stage.scrollTop = down * stage.scrollHeight - stage.clientHeight / 2;
  };
  zoom.addEventListener("change", () => show(0.5, 0.6));
  stage.addEventListener("dblclick", (event) => {
    const place = film.getBoundingClientRect();
    zoom.checked = !zoom.checked;
    show((event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height);
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && event.pointerType === "mouse") {
      stage.scrollLeft -= event.movementX;
      stage.scrollTop -= event.movementY;
    }
  });
}
