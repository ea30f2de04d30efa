"""The virtual air, boards, phones and people; the demo and the benchmarks made of them."""
