/** A peer that asks `have` and one that serves it as the test says, over real sessions in memory. */

import { type HaveHandler, serveHave } from '../../protocols/have/server.js'
import type { Role } from '../../protocols/hello/messages.js'
import { deferred } from './probe-actor.js'
import { type TestPeer, TestPeers } from './sessions-pair.js'

class ScriptedHoldings implements HaveHandler {
  asked = 0
  held: (index: number) => boolean = () => true
  #hold: ReturnType<typeof deferred<void>> | undefined

  /** Answers nothing until `release`. */
  hold(): void {
    this.#hold = deferred<void>()
  }

  release(): void {
    this.#hold?.resolve()
  }

  async have(digests: readonly Uint8Array[]): Promise<readonly boolean[]> {
    this.asked += 1
    await this.#hold?.promise
    return digests.map((_, index) => this.held(index))
  }
}

export class HaveServing {
  readonly #peers = new TestPeers()
  readonly near: TestPeer
  readonly far: TestPeer
  readonly handler = new ScriptedHoldings()

  constructor({ role = 'client', serve = true }: { readonly role?: Role; readonly serve?: boolean } = {}) {
    this.near = this.#peers.peer({ role, name: 'asker' })
    this.far = this.#peers.peer({ role: 'miner', name: 'holder' })
    if (serve) serveHave({ ...this.far.components, handler: this.handler })
  }

  /** One more client. */
  asker(number: number): TestPeer {
    return this.#peers.peer({ role: 'client', name: `asker ${number}` })
  }
}
