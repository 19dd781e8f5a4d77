"""Bootstrap of a working tree: Python environment, test peers and test kernel, below .venv and .cache.

Standard library only: it runs on a bare Debian with nothing but python3 and apt. It installs no
package on the system; whatever is missing is downloaded with apt's own signature checks and
unpacked below .cache, so no maintainer script runs and no service is ever started or enabled.
"""
