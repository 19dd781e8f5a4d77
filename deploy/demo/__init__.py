"""The demonstration: two directors, two web servers and a client; things are killed, losses are counted.

``stage`` builds the lab of one daemon, ``story`` plays the steps on it and measures, ``screen`` shows it,
``__main__`` decides where to play (here, in the test kernel, or the VRRP half alone) and judges the end.
"""
