const show = (text) => {
  document.getElementById("overview").textContent = text;
};
const events = new EventSource("./api/v1/events");
events.addEventListener("overview", (event) => show(JSON.stringify(JSON.parse(event.data), null, 2)));
