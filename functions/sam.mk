# The Makefile that `sam build` finds beside each bootstrap: the bootstrap is built already, with flags and toolchain of the Makefile above.
build-%Function:
	cp bootstrap "$(ARTIFACTS_DIR)"
