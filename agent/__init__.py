"""Composition: configuration, pipeline, runtime and command line. The only area that imports the others."""
