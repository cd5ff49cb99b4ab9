// A page that is opened as a file may start no worker, and the search is one.
// There the script of the worker runs in a frame that is not shown.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.isReady = new Promise((resolve) => {
        const frame = document.createElement("iframe")
        frame.hidden = true
        document.documentElement.append(frame)
        this.inner = frame.contentWindow
        this.inner.postMessage = (data) => this.tell(this, data)
        this.inner.importScripts = async (...urls) => {
          for (const of of urls) await this.load(of)
        }
        this.load(url).then(resolve)
      })
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inner.document.createElement("script")
        Object.assign(script, { src: url, onload: resolve, onerror: reject })
        this.inner.document.documentElement.append(script)
      })
    }

    tell(target, data) {
      target.dispatchEvent(new MessageEvent("message", { data }))
    }

    postMessage(data) {
      this.isReady.then(() => this.tell(this.inner, data))
    }

    terminate() {
      this.inner.frameElement.remove()
    }
  }
}
