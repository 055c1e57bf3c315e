"""Values of 8 bits as floats, and floats as values of 8 bits."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def byte(weights, E4M3: tl.constexpr, COMPUTE: tl.constexpr):
    """Bytes as floats. Cards before sm_89 cannot convert e4m3: there its bits, given as integers, become those of a
    float with a wider exponent, which is 2^120 (bf16) or 2^8 (fp16) too small."""
    if E4M3:
        wide = weights.to(tl.uint16)
        if COMPUTE == tl.bfloat16:  # noqa: SIM300
            bits = ((wide & 0x80) << 8) | ((wide & 0x7F) << 4)
            floats = bits.to(tl.bfloat16, bitcast=True) * 1.329227995784916e36
        else:
            bits = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
            floats = bits.to(tl.float16, bitcast=True).to(tl.float32) * 256.0
    else:
        floats = weights
    return floats.to(COMPUTE)


@triton.jit
def rounded(x, E4M3: tl.constexpr):
    """``x`` f32 to the nearest int8 or e4m3 (as its byte), ties to even; the same on every card, old ones included."""
    if E4M3:
        bits = x.to(tl.int32, bitcast=True)
        size = bits & 0x7FFFFFFF
        normal = ((size + 0x7FFFF + ((size >> 20) & 1)) >> 20) - (120 << 3)  # 3 bits of mantissa, an exponent of 4
        steps = (tl.abs(x) * 512.0 + 8388608.0).to(tl.int32, bitcast=True) & 0x7FFFFF  # below 2^-6, of 2^-9 each
        return (tl.where(size < 0x3C800000, steps, normal) | ((bits >> 24) & 0x80)).to(tl.uint8)
    else:
        return ((x + 12582912.0) - 12582912.0).to(tl.int8)  # so large a float has no digits behind the point
