const base = location.pathname
const list = document.querySelector("#comments")
const state = document.querySelector("#state")
const form = document.querySelector("#new")

const post = (path, body) =>
  fetch(`${base}/comments${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  })

function button(id, direction) {
  const made = document.createElement("button")
  made.dataset[direction] = ""
  made.onclick = () => post(`/${id}/votes`, { direction })
  return made
}

function showVotes({ id, up, down }) {
  const item = document.getElementById(`comment-${id}`)
  if (!item) return
  item.querySelector("[data-up]").textContent = `▲ ${up}`
  item.querySelector("[data-down]").textContent = `▼ ${down}`
}

function showComment(comment) {
  if (document.getElementById(`comment-${comment.id}`)) return showVotes(comment)
  const item = document.createElement("li")
  item.id = `comment-${comment.id}`
  const author = document.createElement("strong")
  author.textContent = comment.author
  const text = document.createElement("p")
  text.textContent = comment.text
  item.append(author, text, button(comment.id, "up"), " ", button(comment.id, "down"))
  list.append(item)
  showVotes(comment)
}

function showViewers(count) {
  document.querySelector("#viewers").textContent = `${count} viewing`
}

const show = {
  snapshot: ({ comments, viewers }) => {
    list.replaceChildren()
    comments.forEach(showComment)
    showViewers(viewers)
  },
  "comment-added": ({ comment }) => showComment(comment),
  "votes-changed": ({ comment_id, up, down }) => showVotes({ id: comment_id, up, down }),
  "viewers-changed": ({ viewers }) => showViewers(viewers),
}

function setState(name) {
  state.textContent = name
  state.className = name
}

function connect() {
  const source = new EventSource(`${base}/events`)
  source.addEventListener("stream-open", () => setState("live"))
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data)
    show[event.type](event)
  }
  source.onerror = () => {
    setState("reconnecting")
    // an answer such as 503 ends an EventSource for good
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000 + 2000 * Math.random())
  }
}

form.onsubmit = (submitted) => {
  submitted.preventDefault()
  const { author, text } = Object.fromEntries(new FormData(form))
  post("", { author, text })
  form.elements.text.value = ""
}
connect()
