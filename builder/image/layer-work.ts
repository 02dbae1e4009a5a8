/**
 * Work on whole layers, byte by byte: it would hold the daemon up, so whoever wires the rooms has
 * it done in a thread. One piece of work at a time. Digests are `sha256:<hex>`, sizes in bytes.
 */
export type LayerWork = {
  /** Digest and size of a layer's tar. */
  digest(dir: string): Promise<LayerDigest>
  /** The layer's tar itself, in pieces that are the receiver's own. */
  read(dir: string): AsyncIterable<Uint8Array>
  /** Writes the layer's tar into `file`, with gzip. */
  compress(dir: string, file: string): Promise<Compressed>
  /** Fills a directory from the tar of a foreign layer, or throws the Failure that says why not. */
  unpack(job: UnpackJob): Promise<Unpacked>
  /** A file of an image by its layers, lowest first; undefined when there is none. */
  readText(job: ReadJob): Promise<string | undefined>
  /** What differs between two directories. */
  compare(job: CompareJob): Promise<Difference[]>
}

export type LayerDigest = { diffId: string; bytes: number }

export type Compressed = LayerDigest & { gzip: { digest: string; bytes: number } }

export type UnpackJob = {
  /** The blob: a tar, plain or with gzip or zstd, whatever it was said to be. */
  file: string
  /** What the blob must have, where it is known. */
  digest?: string
  /** What the tar within must have. */
  diffId: string
  /** Empty, or with the layers that this one is laid upon. */
  dir: string
  /** Directories of the layers below, lowest first. */
  lowers: string[]
  bytesMost: number
  entriesMost: number
}

/** `warnings` are for whoever asked for the image. */
export type Unpacked = { bytes: number; entries: number; warnings: string[] }

export type ReadJob = { dirs: string[]; path: string; bytesMost: number }

export type CompareJob = { before: string | undefined; after: string | undefined; most: number }

export type Difference = { change: 'added' | 'removed' | 'changed'; path: string }
