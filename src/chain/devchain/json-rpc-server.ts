/** One JSON-RPC request to a devchain, from its text to the text of its answer. Knows nothing of sockets. */
import * as z from 'zod'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { blockHead, METHODS, type MethodName, type Params, runMethod } from './api.js'
import type { Devchain } from './devchain.js'
import {
  errorText,
  type RequestId,
  RPC_ERRORS,
  requestSchema,
  resultText,
  SUBSCRIBE_HEADS,
} from './json-rpc.js'

/** What the server keeps of a client between requests. */
export interface Session {
  wantsHeads: boolean
}

/** The answer's text, or `undefined` for a notification. `text` is `undefined` for a binary message. */
export function answer(
  devchain: Devchain,
  session: Session,
  text: string | undefined,
  logger: Logger,
): string | undefined {
  const value = parseJson(text)
  if (value === undefined) return errorText(null, RPC_ERRORS.parse, invalid('the message is not JSON'))
  const request = requestSchema.safeParse(value)
  if (!request.success) {
    return errorText(null, RPC_ERRORS.invalidRequest, invalid('this is no JSON-RPC 2.0 request'))
  }
  const { id, method, params } = request.data
  const reply = answerRequest(devchain, session, { id: id ?? null, method, params: params ?? {} }, logger)
  return id === undefined ? undefined : reply
}

interface Request {
  readonly id: RequestId
  readonly method: string
  readonly params: unknown
}

function answerRequest(devchain: Devchain, session: Session, request: Request, logger: Logger): string {
  const { id, method, params } = request
  if (method === SUBSCRIBE_HEADS) {
    return answered(request, logger, () => {
      const head = z.encode(blockHead, devchain.head)
      session.wantsHeads = true
      return head
    })
  }
  if (!isMethod(method)) return errorText(id, RPC_ERRORS.methodNotFound, invalid('there is no such method'))
  const parsed = METHODS[method].params.safeDecode(params)
  if (!parsed.success) return errorText(id, RPC_ERRORS.invalidParams, invalid('wrong parameters'))
  return answered(request, logger, () => run(devchain, method, parsed.data))
}

function answered({ id, method }: Request, logger: Logger, work: () => unknown): string {
  try {
    return resultText(id, work())
  } catch (error) {
    if (isSubnetError(error)) return errorText(id, RPC_ERRORS.server, error)
    logger.error({ err: error, method }, 'a devchain request failed')
    return errorText(id, RPC_ERRORS.internal, new SubnetError('INTERNAL', 'the devchain failed'))
  }
}

function run<M extends MethodName>(devchain: Devchain, name: M, params: Params<M>): unknown {
  return z.encode(METHODS[name].result, runMethod(devchain, name, params))
}

function isMethod(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name)
}

function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    // The caller answers that it is not JSON; where exactly is of no use to a program.
    return undefined
  }
}

function invalid(text: string): SubnetError {
  return new SubnetError('INVALID', text)
}
