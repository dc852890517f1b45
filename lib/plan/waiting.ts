/** A client's sink while its request is looked into: there is one thing to hear of it. */
export class Waiting {
  hasLeft = false

  requestChunk(): void {}
  requestEnd(): void {}
  requestBroken(): void {
    this.hasLeft = true
  }
  clientDrained(): void {}
  clientLeft(): void {
    this.hasLeft = true
  }
}
