"""The functions of document-processing. The modules beside this one are shared: they ship with each of them."""
