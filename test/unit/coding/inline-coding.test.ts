import { inlineCoding } from '../../../src/coding/inline-coding.js'
import { codingPoolConformance } from '../../conformance/coding-pool.js'

codingPoolConformance('inline', () => inlineCoding)
