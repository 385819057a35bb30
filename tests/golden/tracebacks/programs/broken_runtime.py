def load():
    return {}["setting"]


SETTING = load()
