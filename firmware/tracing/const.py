try:
    from micropython import const
except ImportError:
    def const(v): return v
