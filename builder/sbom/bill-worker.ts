import { parentPort, workerData } from 'node:worker_threads'
import type { Component } from './component.ts'
import { cyclonedx, type Subject } from './cyclonedx.ts'

/** The thread that writes one bill, and ends. */

export type Job = [subject: Subject, components: Component[]]

const [subject, components]: Job = workerData
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
parentPort?.postMessage(cyclonedx(subject, components))
